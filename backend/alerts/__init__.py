"""Alerts of sites and of the operator's own side: kept, ended, sent out once for each cause."""
