//! `shared/build_config.json`: what all servers build with.
//!
//! The hub's owners decide what stands in it; we read what we know and carry the rest.

use super::lenient;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The shared build configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BuildConfig {
    /// When to tell somebody: `on_failure`, `on_success`.
    #[serde(default, deserialize_with = "lenient::any", skip_serializing_if = "Option::is_none")]
    pub notify: Option<Value>,
    /// What becomes of what was built.
    #[serde(default, deserialize_with = "lenient::object", skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<ArtifactRules>,
}

/// What becomes of what was built.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ArtifactRules {
    /// Of how many builds they are kept.
    #[serde(default, deserialize_with = "lenient::count", skip_serializing_if = "Option::is_none")]
    pub keep: Option<u64>,
    /// Patterns that a successful build must have made, such as `*.deb`.
    #[serde(default, deserialize_with = "lenient::texts", skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
}

impl BuildConfig {
    /// Where it lies in the hub.
    pub const PATH: &'static str = "shared/build_config.json";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_older_hubs_hold_is_read() {
        for text in [
            r#"{"maven":{"opts":"-Xmx4g"},"profiles":["developer"],"java":"17","notify":{"on_failure":true}}"#,
            r#"{"artifacts":{"keep":"5","required":"*.deb"},"notify":null}"#,
            "{}",
        ] {
            serde_json::from_str::<BuildConfig>(text).expect(text);
        }
    }
}
