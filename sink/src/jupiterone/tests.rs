//! The client against each fault of the simulated JupiterOne.
