"""The database server: settings, the embedded server, the connection, accounts, and DataJoint's internals."""
