"""The local page and its JSON API, served by the agent itself on gevent.

- `site.py`     what the page needs from the agent: a protocol, and nothing else of it
- `app.py`      the WSGI application: which request is answered by what
- `api.py`      the JSON answers, and the changes that a person may make
- `guard.py`    who may ask, and who may change: host, origin, token, session, CSRF
- `http.py`     requests, answers, and the headers that every answer carries
- `stream.py`   the live view: server-sent events, bounded (gevent)
- `server.py`   the listening socket: bound, moved, and its faults told (gevent)
- `history.py`  the curve of the last hour
- `metrics.py`  the same figures for Prometheus
- `static/`     the page itself; uPlot (MIT, uplot-LICENSE.txt) draws the curve
"""
