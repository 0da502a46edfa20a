"""The local page and its JSON API, served by the agent itself on gevent.

- `page_source.py`   what the page needs from the agent: a protocol, and nothing else of it
- `wsgi_app.py`      the WSGI application: which request is answered by what
- `json_api.py`      the JSON answers, and the changes that a person may make
- `access_guard.py`  who may see, and who may change: host, origin, token, session, CSRF
- `http_messages.py` requests, responses, and the headers that every response carries
- `live_stream.py`   the live view: server-sent events, bounded (gevent)
- `page_server.py`   the listening socket: bound, moved, and its faults reported (gevent)
- `prometheus_metrics.py`  the same figures for Prometheus
- `static/`          the page itself; uPlot (MIT, uplot-LICENSE.txt) draws the curve
"""
