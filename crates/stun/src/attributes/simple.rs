//! Values of one fixed shape, which several attributes share.

use crate::attribute::{AttributeError, AttributeType};

/// A value of exactly `N` bytes.
pub(super) fn fixed<const N: usize>(ty: AttributeType, value: &[u8]) -> Result<[u8; N], AttributeError> {
    value.try_into().map_err(|_| AttributeError::length(ty, value))
}

/// Declares an attribute that is a number in network byte order and nothing else.
macro_rules! number_attribute {
    ($(#[$doc:meta])* $name:ident($number:ty) = $ty:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub $number);

        impl<'a> $crate::Attribute<'a> for $name {
            const TYPE: $crate::AttributeType = $crate::AttributeType::$ty;

            fn decode(value: &'a [u8], _: &$crate::TransactionId) -> Result<Self, $crate::AttributeError> {
                $crate::attributes::simple::fixed(Self::TYPE, value).map(|bytes| Self(<$number>::from_be_bytes(bytes)))
            }

            fn encode(&self, out: &mut $crate::ValueWriter<'_>) -> Result<(), $crate::EncodeError> {
                out.put(&self.0.to_be_bytes());
                Ok(())
            }
        }
    };
}

/// Declares an attribute without a value: a flag.
macro_rules! flag_attribute {
    ($(#[$doc:meta])* $name:ident = $ty:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name;

        impl<'a> $crate::Attribute<'a> for $name {
            const TYPE: $crate::AttributeType = $crate::AttributeType::$ty;

            fn decode(value: &'a [u8], _: &$crate::TransactionId) -> Result<Self, $crate::AttributeError> {
                $crate::attributes::simple::fixed::<0>(Self::TYPE, value).map(|_| Self)
            }

            fn encode(&self, _: &mut $crate::ValueWriter<'_>) -> Result<(), $crate::EncodeError> {
                Ok(())
            }
        }
    };
}

/// Declares an attribute that is bytes of its user's, passed on as they are.
macro_rules! bytes_attribute {
    ($(#[$doc:meta])* $name:ident = $ty:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<'a>(pub &'a [u8]);

        impl<'a> $crate::Attribute<'a> for $name<'a> {
            const TYPE: $crate::AttributeType = $crate::AttributeType::$ty;

            fn decode(value: &'a [u8], _: &$crate::TransactionId) -> Result<Self, $crate::AttributeError> {
                Ok(Self(value))
            }

            fn encode(&self, out: &mut $crate::ValueWriter<'_>) -> Result<(), $crate::EncodeError> {
                out.put(self.0);
                Ok(())
            }
        }
    };
}

pub(super) use {bytes_attribute, flag_attribute, number_attribute};
