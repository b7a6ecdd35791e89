//! A value of the graph topic, which has records of four types.

use crate::{
    codec::{DecodeError, Record as _, encode, split, unexpected},
    coverage::{Coverage, Hold, Withheld},
    element::Element,
    encoded::EncodedElement,
};

/// A value of the graph topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GraphValue {
    /// An entity or a relationship.
    Element(EncodedElement),
    /// What is known of a collection or of the polls.
    Coverage(Box<Coverage>),
    /// A deletion kept back.
    Hold(Box<Hold>),
    /// A relationship with a missing end.
    Withheld(Box<Withheld>),
}

impl GraphValue {
    /// The value's bytes in single-object encoding.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Element(element) => element.bytes().to_vec(),
            Self::Coverage(coverage) => encode(coverage.as_ref()),
            Self::Hold(hold) => encode(hold.as_ref()),
            Self::Withheld(withheld) => encode(withheld.as_ref()),
        }
    }

    /// The value of these bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (fingerprint, body) = split(bytes)?;
        if Element::schema().knows(fingerprint) {
            return EncodedElement::read(bytes).map(Self::Element);
        }
        let coverage = Coverage::schema().read(fingerprint, body).map(|it| it.map(Self::Coverage));
        coverage
            .or_else(|| Some(Withheld::schema().read(fingerprint, body)?.map(Self::Withheld)))
            .or_else(|| Some(Hold::schema().read(fingerprint, body)?.map(Self::Hold)))
            .unwrap_or_else(|| Err(unexpected(fingerprint)))
    }
}
