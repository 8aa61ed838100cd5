"""The lab's page (``vbn serve``): read-only views of the database in a browser.

``database_thread`` runs all queries, ``content`` fetches the tables to show, ``figures`` lists the figures,
``views`` lays them out with Panel, and ``server`` serves them. A view is a function of the URL, so
that every view can be linked. The tables of sessions (``session_browser``) and units (``unit_question``,
``unit_facts``, ``unit_browser``) are plain HTML and a form: handlers of Tornado, no Panel. ``session_plots``
and ``unit_plots`` draw one session and one unit with Bokeh.
"""
