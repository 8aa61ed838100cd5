"""The lab's page (``vbn serve``): read-only views of the database in a browser.

``database_thread`` runs all queries, ``content`` fetches the tables to show, ``figures`` lists the figures,
``views`` lays them out, and ``server`` serves them. A view is a function of the URL, so
that every view can be linked.
"""
