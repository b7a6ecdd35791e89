//! Text fields whose values are a closed set.

/// Defines an enum of the values of a string field. The schema keeps `string`, so a newer version may write a value that
/// this one does not know: it is kept as it is, and each reader decides what it means.
macro_rules! closed_set {
    (
        $(#[$attribute:meta])*
        pub enum $name:ident { $($(#[$value_attribute:meta])* $value:ident = $text:literal,)+ }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$value_attribute])* $value,)+
            /// A value that this version does not know.
            #[non_exhaustive]
            Other {
                /// What was written.
                text: Box<str>,
            },
        }

        impl $name {
            /// All values that this version knows.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            /// The value as a string.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$value => $text,)+
                    Self::Other { text } => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$value,)+
                    other => Self::Other { text: other.into() },
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl serde::de::Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a string")
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                        Ok(text.into())
                    }
                }

                deserializer.deserialize_str(Text)
            }
        }
    };
}

pub(crate) use closed_set;
