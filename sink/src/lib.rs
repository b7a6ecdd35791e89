//! Keeps JupiterOne equal to the graph topic.
