"""Makes the repository's root an agent directory: `vctl install .` builds and installs VenAgent."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
REQUIREMENTS = [
    line
    for line in (ROOT / "requirements.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
VERSION: dict = {}
exec((ROOT / "VenAgent" / "version.py").read_text(), VERSION)

setup(
    name="venagent",
    version=VERSION["__version__"],
    description="A VOLTTRON agent that makes a building a demand-response Virtual End Node",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["VenAgent", "VenAgent.*"]),
    package_data={"VenAgent.web": ["static/*"]},
    # VOLTTRON itself is never listed: pip would try to replace the platform that is running us.
    install_requires=REQUIREMENTS,
    entry_points={
        # One agent, three ways to find it: VOLTTRON 9 and 10, VOLTTRON 11, and by hand.
        "setuptools.installation": ["eggsecutable = VenAgent.agent:main"],
        "volttron.agent": ["launch = VenAgent.agent:main"],
        "console_scripts": ["venagent = VenAgent.agent:main"],
    },
)
