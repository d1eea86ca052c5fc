//! Field readers that take every variant found in real hubs.
//!
//! For use with `#[serde(deserialize_with = ...)]`. A value that stands for nothing we know
//! becomes `None` or a default where that is harmless; a list or an object where a single value
//! belongs is an error, because it means that the document is not what we think it is.

use super::time::Timestamp;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::fmt;
use std::marker::PhantomData;

fn unexpected<T, E: serde::de::Error>(value: &Value, wanted: &str) -> Result<T, E> {
    let found = match value {
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
        Value::String(_) => "a text",
        Value::Number(_) => "a number",
        Value::Bool(_) => "true or false",
        Value::Null => "null",
    };
    Err(E::custom(format!("{found} where {wanted} belongs")))
}

/// A time in any known shape; text that is no time, or null, is `None`.
///
/// # Errors
/// When the field holds a list or an object.
pub fn timestamp<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Timestamp>, D::Error> {
    match Value::deserialize(input)? {
        Value::String(text) => Ok(Timestamp::parse(&text)),
        Value::Number(number) => Ok(Timestamp::parse(&number.to_string())),
        Value::Null | Value::Bool(_) => Ok(None),
        other => unexpected(&other, "a time"),
    }
}

/// A text; null is `None`, the word `null` too, a number or truth value is its spelling.
///
/// # Errors
/// When the field holds a list or an object.
pub fn text<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(input)? {
        Value::String(text) if text == "null" => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Bool(truth) => Ok(Some(truth.to_string())),
        Value::Null => Ok(None),
        other => unexpected(&other, "a text"),
    }
}

/// A text that is always there: null is the empty text.
///
/// # Errors
/// When the field holds a list or an object.
pub fn plain_text<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    Ok(text(input)?.unwrap_or_default())
}

/// True or false; also as text or number; null is `None`.
///
/// # Errors
/// When the field holds anything else.
pub fn truth<'de, D: Deserializer<'de>>(input: D) -> Result<Option<bool>, D::Error> {
    match Value::deserialize(input)? {
        Value::Bool(truth) => Ok(Some(truth)),
        Value::Null => Ok(None),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Ok(Some(true)),
            "false" | "no" | "0" | "" => Ok(Some(false)),
            _ => Ok(None),
        },
        Value::Number(number) => Ok(number.as_f64().map(|number| number != 0.0)),
        other => unexpected(&other, "true or false"),
    }
}

/// A whole number of zero or more; also as text or with a fraction, which is cut; null is `None`.
///
/// # Errors
/// When the field holds anything else, or a negative number.
pub fn count<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    let value = Value::deserialize(input)?;
    let text = match &value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        other => return unexpected(other, "a number"),
    };
    match whole_number(&text).map(u64::try_from) {
        Some(Ok(number)) => Ok(Some(number)),
        _ => Err(D::Error::custom("the number must be whole and not negative")),
    }
}

/// A figure for people, such as a load; also as text with a percent sign; null is `None`.
/// Goes through [`Value`], which unlike `f64` can be read inside a tagged operation as well.
///
/// # Errors
/// When the field holds anything else.
pub fn figure<'de, D: Deserializer<'de>>(input: D) -> Result<Option<f64>, D::Error> {
    match Value::deserialize(input)? {
        Value::Number(number) => Ok(number.as_f64()),
        Value::String(text) => match text.trim().trim_end_matches('%').trim().parse() {
            Ok(figure) => Ok(Some(figure)),
            Err(_) => Err(D::Error::invalid_type(Unexpected::Str(&text), &"a number")),
        },
        Value::Null | Value::Bool(_) => Ok(None),
        other => unexpected(&other, "a number"),
    }
}

/// A whole number, negative ones too; null is `None`.
///
/// # Errors
/// When the field holds anything else.
pub fn integer<'de, D: Deserializer<'de>>(input: D) -> Result<Option<i64>, D::Error> {
    let value = Value::deserialize(input)?;
    match &value {
        Value::Null => Ok(None),
        Value::Number(number) => Ok(whole_number(&number.to_string()).and_then(|n| i64::try_from(n).ok())),
        Value::String(text) => Ok(whole_number(text).and_then(|n| i64::try_from(n).ok())),
        other => unexpected(other, "a number"),
    }
}

/// The whole part of a number's spelling; `None` when it is none or does not fit. Wider than any
/// field, so that every number we can write can be read again.
fn whole_number(text: &str) -> Option<i128> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i128>() {
        return Some(number);
    }
    let (whole, fraction) = text.split_once('.')?;
    if fraction.bytes().all(|b| b.is_ascii_digit()) { whole.parse().ok() } else { None }
}

/// A list of texts; a single text is a list of one, commas separate, null is empty.
///
/// # Errors
/// When the field or one of its items holds an object or a list.
pub fn texts<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    match Value::deserialize(input)? {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => {
            Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
        }
        Value::Array(items) => items
            .iter()
            .filter(|item| !item.is_null())
            .map(|item| match item {
                Value::String(text) => Ok(text.clone()),
                Value::Number(number) => Ok(number.to_string()),
                Value::Bool(truth) => Ok(truth.to_string()),
                other => unexpected(other, "a text"),
            })
            .collect(),
        other => unexpected(&other, "a list of texts"),
    }
}

/// What has to be written as an object. Serde would take a list as well, with the fields in their
/// order, and a list here means that the document is not what we think it is.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        input.deserialize_struct("", &[], Members(PhantomData))
    }
}

/// An object; null is `None`.
///
/// # Errors
/// When the field holds anything else.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(input: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(input)?.map(|Object(value)| value))
}

/// A list of objects; null is empty.
///
/// # Errors
/// When the field holds anything else.
pub fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(input: D) -> Result<Vec<T>, D::Error> {
    let items = Option::<Vec<Object<T>>>::deserialize(input)?;
    Ok(items.unwrap_or_default().into_iter().map(|Object(value)| value).collect())
}

/// Any value or nothing: what we carry without looking into it.
///
/// # Errors
/// None beyond those of the JSON itself.
pub fn any<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Value>, D::Error> {
    Ok(match Value::deserialize(input)? {
        Value::Null => None,
        value => Some(value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Counted(#[serde(deserialize_with = "count")] Option<u64>);

    #[derive(Debug, Deserialize, PartialEq)]
    struct Text(#[serde(deserialize_with = "text")] Option<String>);
    #[derive(Debug, Deserialize, PartialEq)]
    struct Truth(#[serde(deserialize_with = "truth")] Option<bool>);
    #[derive(Debug, Deserialize, PartialEq)]
    struct Integer(#[serde(deserialize_with = "integer")] Option<i64>);

    #[derive(Debug, Deserialize, PartialEq)]
    struct Flags(#[serde(deserialize_with = "objects")] Vec<Flag>);
    #[derive(Debug, Deserialize, PartialEq)]
    struct Flag {
        on: bool,
    }

    #[test]
    fn objects_are_written_as_objects() {
        let on = || Flag { on: true };
        for (json, expected) in [
            ("null", Ok(vec![])),
            (r#"[{"on":true},{"on":true,"x":1}]"#, Ok(vec![on(), on()])),
            ("[[true]]", Err("invalid type: sequence, expected an object at line 1 column 2")),
        ] {
            let read = serde_json::from_str::<Flags>(json).map(|Flags(read)| read);
            assert_eq!(read.map_err(|error| error.to_string()), expected.map_err(str::to_owned), "{json}");
        }
    }

    #[test]
    fn what_other_writers_mean_is_read() {
        for (json, expected) in [
            ("\"a\"", Some("a")),
            ("7", Some("7")),
            ("true", Some("true")),
            ("null", None),
            ("\"null\"", None),
        ] {
            let read: Text = serde_json::from_str(json).expect(json);
            assert_eq!(read.0.as_deref(), expected, "{json}");
        }
        for (json, expected) in [
            ("true", Some(true)),
            ("\"Yes\"", Some(true)),
            ("1", Some(true)),
            ("0.5", Some(true)),
            ("\"no\"", Some(false)),
            ("\"\"", Some(false)),
            ("0", Some(false)),
            ("\"perhaps\"", None),
            ("null", None),
        ] {
            assert_eq!(serde_json::from_str::<Truth>(json).expect(json), Truth(expected), "{json}");
        }
        for (json, expected) in
            [("-7", Some(-7)), ("\"12\"", Some(12)), ("7.9", Some(7)), ("\"many\"", None), ("null", None)]
        {
            assert_eq!(serde_json::from_str::<Integer>(json).expect(json), Integer(expected), "{json}");
        }
        for json in ["[]", "{}"] {
            assert!(serde_json::from_str::<Text>(json).is_err(), "{json}");
            assert!(serde_json::from_str::<Truth>(json).is_err(), "{json}");
            assert!(serde_json::from_str::<Integer>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn every_count_that_can_be_written_can_be_read() {
        for (text, expected) in [
            ("18446744073709551615", Some(u64::MAX)),
            ("9223372036854775808", Some(9_223_372_036_854_775_808)),
            ("\"7\"", Some(7)),
            ("7.9", Some(7)),
            ("null", None),
        ] {
            assert_eq!(serde_json::from_str::<Counted>(text).expect(text), Counted(expected), "{text}");
        }
        for text in ["-1", "18446744073709551616", "\"many\"", "[]"] {
            assert!(serde_json::from_str::<Counted>(text).is_err(), "{text}");
        }
    }
}
