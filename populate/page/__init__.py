"""The lab's page (``vbn serve``): read-only views of the database in a browser.

``database_thread`` runs all queries, ``content`` fetches the tables to show, ``figures`` lists the figures,
``views`` lays them out with Panel, and ``server`` serves them. A view is a function of the URL, so
that every view can be linked. The table of units (``unit_question``, ``unit_facts``, ``unit_browser``) is
plain HTML and a form: a handler of Tornado, no Panel. ``unit_plots`` draws one unit with Bokeh.
"""
