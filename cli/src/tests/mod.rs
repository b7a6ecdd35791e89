//! What the commands print, for an organization made by hand.

pub(crate) mod fixture;
mod name_lookup;
mod printed;
