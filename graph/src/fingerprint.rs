//! Recognizes a resource that has not changed.

use siphasher::sip::SipHasher13;

/// A keyed hash of an encoded resource. The digest of a resource is SHA-256, which takes much longer, so it is computed only
/// where no fingerprint is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(u64);

/// Computes fingerprints. Fingerprints of different keys cannot be compared.
///
/// The key is secret and random in each process. An attacker who knows it can choose a user name with which a changed
/// resource has the same fingerprint as before, so the change would not be detected. No output depends on the key.
#[derive(Debug, Clone, Default)]
pub struct Fingerprints(SipHasher13);

impl Fingerprints {
    /// With this key.
    pub fn new(key: u128) -> Self {
        Self(SipHasher13::new_with_key(&key.to_le_bytes()))
    }

    pub(crate) fn of(&self, encoded: &[u8]) -> Fingerprint {
        Fingerprint(self.0.hash(encoded))
    }
}
