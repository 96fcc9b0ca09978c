"""The control process: talks to control plane and node agent, feeds the workers, shows pages."""
