import logging

from volttron.client.vip.agent import RPC, Agent, Core, PubSub

__all__ = ["RPC", "Agent", "Core", "PubSub", "setup_logging"]


def setup_logging(level=logging.DEBUG):
    logging.getLogger().setLevel(level)
