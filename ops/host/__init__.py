"""This machine: paths, processes, ports, files, logs, the terminal."""
