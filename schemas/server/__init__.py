"""The server: settings, the embedded one, the connection, accounts, and DataJoint's inside."""
