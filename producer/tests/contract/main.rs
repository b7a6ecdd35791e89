//! The Admin API client and its listings against a simulated organization and its faults.

mod embedded;
mod end;
mod faults;
mod generations;
mod identities;
mod pages;
mod polls;
mod refusals;
mod retries;
