"""PID 1 of a router pod: starts Envoy, follows the operator, drains. No request passes through it, and it imports the standard library only."""
