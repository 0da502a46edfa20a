"""The commands: scripts/ven_control.sh, and the scripts that are run by themselves."""
