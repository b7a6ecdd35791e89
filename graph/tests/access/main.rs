//! Who can reach what: by hand, against brute force over random truths, and at a thousand revisions of organizations that
//! live.

mod brute_force;
mod by_hand;
mod elements;
mod life;
mod moments;
mod names;
