//! The bridge between a line of text and a typed value.

use std::fmt;

use crate::error::Expected;

/// A typed reading of one kind of line, most often of one attribute.
///
/// [`Lines`](crate::Lines) reads and writes every type that implements it, also those of other
/// crates:
///
/// ```
/// use columba_sdp::{Expected, Field, Lines};
///
/// #[derive(Debug, PartialEq)]
/// struct Mood(String);
///
/// impl Field for Mood {
///     const NAMES: &'static [&'static str] = &["x-mood"];
///     fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
///         Ok(Self(value.ok_or(Expected("a mood"))?.to_owned()))
///     }
///     fn write_value(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
///         out.write_str(&self.0)
///     }
/// }
///
/// let mut lines = Lines::new();
/// lines.add(&Mood("cheerful".to_owned()))?;
/// assert_eq!(lines.to_string(), "a=x-mood:cheerful\r\n");
/// assert_eq!(lines.get::<Mood>()?, Some(Mood("cheerful".to_owned())));
/// # Ok::<(), columba_sdp::Error>(())
/// ```
pub trait Field: Sized + PartialEq {
    /// The letter of the line.
    const KIND: char = 'a';

    /// The names of the attribute (more than one where the name is the value, as in `a=sendrecv`);
    /// empty if [`KIND`](Self::KIND) is not `a`.
    const NAMES: &'static [&'static str];

    /// True if the attribute is written without a colon and a value.
    const FLAG: bool = false;

    /// Reads a value. White space around it is gone already; `None` if the attribute has no colon.
    ///
    /// # Errors
    /// [`Expected`] says what the grammar asks for, if the value does not follow it.
    fn parse(name: &str, value: Option<&str>) -> Result<Self, Expected>;

    /// The name under which this value is written.
    fn name(&self) -> &'static str {
        Self::NAMES.first().copied().unwrap_or_default()
    }

    /// Writes the value, without the name and the colon.
    ///
    /// # Errors
    /// Only those of the writer.
    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result;
}

/// Declares an attribute that is there or not, as a unit struct.
macro_rules! flag_attribute {
    ($(#[$doc:meta])* $type:ident, $name:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $type;

        impl $crate::Field for $type {
            const NAMES: &'static [&'static str] = &[$name];
            const FLAG: bool = true;

            fn parse(_name: &str, _value: Option<&str>) -> Result<Self, $crate::Expected> {
                Ok(Self)
            }

            fn write_value(&self, _out: &mut dyn std::fmt::Write) -> std::fmt::Result {
                Ok(())
            }
        }
    };
}

/// Declares an attribute whose value is one number.
macro_rules! number_attribute {
    ($(#[$doc:meta])* $type:ident($number:ty), $name:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(pub $number);

        impl $crate::Field for $type {
            const NAMES: &'static [&'static str] = &[$name];

            fn parse(_name: &str, value: Option<&str>) -> Result<Self, $crate::Expected> {
                $crate::scan::number(value.unwrap_or_default()).map(Self).ok_or($crate::Expected($expected))
            }

            fn write_value(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
                write!(out, "{}", self.0)
            }
        }
    };
}

/// Declares an attribute whose value is kept as text; the check says which texts it takes.
macro_rules! text_attribute {
    ($(#[$doc:meta])* $type:ident, $name:literal, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(pub String);

        impl $crate::Field for $type {
            const NAMES: &'static [&'static str] = &[$name];

            fn parse(_name: &str, value: Option<&str>) -> Result<Self, $crate::Expected> {
                let check: fn(&str) -> bool = $check;
                let value = value.filter(|value| check(value)).ok_or($crate::Expected($expected))?;
                Ok(Self(value.to_owned()))
            }

            fn write_value(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl From<&str> for $type {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

pub(crate) use {flag_attribute, number_attribute, text_attribute};
