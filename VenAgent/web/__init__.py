"""The local page and its JSON API.

In the agent:
- `page_server.py`        the listening socket: bound, moved, its faults reported; the process
- `page_source.py`        what the page needs from the agent: a protocol, and nothing else of it
- `page_changes.py`       what a person may change: read strictly, made a command
- `page_settings.py`, `page_channel.py`  what the process is told, and how the two speak

In the page's process:
- `page_process.py`       from its start to its end
- `remote_page_source.py` the site, asked of the agent and kept a moment
- `http_server.py`        the connections, all with a bound (gevent)
- `wsgi_app.py`           which request is answered by what
- `json_api.py`           the JSON answers: what is
- `past_api.py`           what was: energy, an event in full, a circuit's curve
- `power_pages.py`        power of the past, asked of the agent page by page
- `csv_download.py`       tables for a spreadsheet
- `access_guard.py`       who may see, and who may change: host, origin, token, session, CSRF
- `http_messages.py`      requests, responses, and the headers that every response carries
- `live_stream.py`        the live view: server-sent events, bounded (gevent)
- `prometheus_metrics.py` the same figures for Prometheus
- `static_assets.py`, `static/`  the page itself; uPlot (MIT, uplot-LICENSE.txt) draws the curve
"""
