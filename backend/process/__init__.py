"""What every process of the backend needs: logs, waits with a limit, the garbage collector."""
