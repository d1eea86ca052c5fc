//! Which paths of a hub hold documents, and which document lies at each.

use crate::domain::build_config::BuildConfig;
use crate::domain::hub::Marker;
use crate::domain::id::ServerName;
use crate::domain::tables::TableKind;

/// A document of a hub, by its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::app) enum Document {
    Table(&'static TableKind),
    Archive(&'static TableKind),
    Status(ServerName),
    Heartbeat(ServerName),
    BuildConfig,
    Hub,
}

impl Document {
    /// What lies at `path`, if it is a document of ours.
    pub(in crate::app) fn at(path: &str) -> Option<Self> {
        match path {
            BuildConfig::PATH => return Some(Self::BuildConfig),
            Marker::PATH => return Some(Self::Hub),
            _ => {}
        }
        if let Some(kind) = TableKind::at(path) {
            return Some(Self::Table(kind));
        }
        if let Some(kind) = TableKind::of_archive(path) {
            return Some(Self::Archive(kind));
        }
        let (folder, name) = path.split_once('/')?;
        let server = ServerName::new(folder).ok()?;
        match name {
            "status.json" => Some(Self::Status(server)),
            "heartbeat.json" => Some(Self::Heartbeat(server)),
            _ => None,
        }
    }

    /// Whether records are lost when it is taken away.
    pub(super) fn is_kept(&self) -> bool {
        match self {
            Self::Table(kind) => kind.is_in_each_hub,
            Self::Archive(_) => true,
            _ => false,
        }
    }
}

/// Whether a walk is to be shown what lies at a path; that of a folder ends with a slash.
pub(super) fn is_wanted(path: &str) -> bool {
    match path.strip_suffix('/') {
        Some("coordination" | "coordination/archive" | "shared") => true,
        Some(folder) => ServerName::new(folder).is_ok(),
        None => Document::at(path).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_paths_are_documents() {
        let jobs = TableKind::at("coordination/jobs.json");
        for (path, expected) in [
            ("coordination/jobs.json", TableKind::at("coordination/jobs.json").map(Document::Table)),
            ("coordination/pauses.json", TableKind::at("coordination/pauses.json").map(Document::Table)),
            ("coordination/archive/jobs-2025-10.json", jobs.map(Document::Archive)),
            ("build1/status.json", ServerName::new("build1").ok().map(Document::Status)),
            ("build1/heartbeat.json", ServerName::new("build1").ok().map(Document::Heartbeat)),
            ("shared/build_config.json", Some(Document::BuildConfig)),
            ("coordination/hub.json", Some(Document::Hub)),
            ("coordination/archive/jobs-2025-10.json.bak", None),
            ("coordination/archive/broken-2025-10.json", None),
            ("docs/status.json", None),
            ("build1/logs/status.json", None),
            ("status.json", None),
        ] {
            assert_eq!(Document::at(path), expected, "{path}");
            assert_eq!(is_wanted(path), expected.is_some(), "{path}");
        }
        for (folder, wanted) in [
            ("coordination/", true),
            ("coordination/archive/", true),
            ("build1/", true),
            ("src/", false),
            ("build1/logs/", false),
        ] {
            assert_eq!(is_wanted(folder), wanted, "{folder}");
        }
    }
}
