"""The folders of MeterDriverConfigs, and what check-config finds in a folder."""

from __future__ import annotations

from pathlib import Path

from ops.check_config import config_check as check_config
from ops.host.paths import Paths
from tests.ops.conftest import REPO

MODELS = REPO / "MeterDriverConfigs"
FOLDERS = sorted(path.name for path in MODELS.iterdir() if path.is_dir())
REAL_MODELS = {
    "eastron_sdm630",
    "schneider_pm5xxx",
    "accuenergy_acurev_1312",
    "accuenergy_acurev_2100",
    "shelly_pro_3em",
    "waveshare_relay_8",
    "bacnet_panel",
    "bacnet_thermostat",
    "mennekes_amtron_ecu",
    "fronius_gen24",
}


def findings(paths: Paths, *names: Path | str) -> list[str]:
    return [
        str(each)
        for each in check_config.check_config_files(paths, [str(name) for name in names])[0]
    ]
