"""The lab's page (``vbn serve``): read-only views of the database in a browser.

``asking`` runs all questions to the database, ``content`` fetches the tables that are shown, ``drawings``
lists the figures, ``views`` lays them out, and ``server`` serves them. A view is a function of the URL, so
that every view can be linked.
"""
