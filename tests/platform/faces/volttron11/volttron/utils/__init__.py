import json
from datetime import datetime, timezone
from pathlib import Path


def load_config(config_path):
    return json.loads(Path(config_path).read_text())


def format_timestamp(time_stamp):
    return time_stamp.isoformat(timespec="microseconds")


def get_aware_utc_now():
    return datetime.now(timezone.utc)


def vip_main(agent_class, version="0.1", **kwargs):
    raise NotImplementedError
