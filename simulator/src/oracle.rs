//! What JupiterOne should hold for an organization, worked out from the truth alone.
