//! The tags that good builds get in the source repository: how they are named, and which one a build has.
//!
//! Asks no repository: `source.rs` brings the list and writes the tags.

use crate::domain::time::Timestamp;
use std::collections::HashMap;
use std::time::Duration;

/// The longest name of a branch or tag, in bytes.
const NAME_LENGTH_MAX: usize = 200;

/// What the tags of good builds begin with.
pub(super) const BUILD_TAG_PREFIX: &str = "build-success-";

/// The length of the time that such a tag ends with: `20251029T120000Z`.
const TIME_LENGTH: usize = 16;

/// The tag of a good build.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BuildTag {
    /// `build-success-<branch>-<time>`.
    pub tag: String,
    /// The branch that was built.
    pub branch: String,
    /// When.
    pub at: Timestamp,
    /// The commit that was built.
    pub commit: String,
    #[serde(skip)]
    pub(super) object: String,
}

impl BuildTag {
    /// The tag's name for a build of `branch` that ended at `at`.
    #[must_use]
    pub fn name(branch: &str, at: Timestamp) -> String {
        format!("{BUILD_TAG_PREFIX}{branch}-{}", at.compact())
    }

    fn parse(tag: &str, object: &str, commit: &str) -> Option<Self> {
        let rest = tag.strip_prefix(BUILD_TAG_PREFIX)?;
        let (branch, time) = rest.split_at_checked(rest.len().checked_sub(TIME_LENGTH + 1)?)?;
        is_name(branch).then_some(())?;
        let at = Timestamp::parse_compact(time.strip_prefix('-')?)?;
        let own = str::to_owned;
        Some(Self { tag: own(tag), branch: own(branch), at, commit: own(commit), object: own(object) })
    }
}

/// The tag of this build, or of a later one of the same commit, if there is one; else the first second from
/// `at` on that is still free: of several builds that ended in one second each has its own.
pub(super) fn place_of<'a>(
    tags: &'a [BuildTag],
    (branch, commit): (&str, &str),
    mut at: Timestamp,
) -> Result<&'a BuildTag, Timestamp> {
    if let Some(there) = tags.iter().find(|tag| tag.branch == branch && tag.commit == commit && tag.at >= at)
    {
        return Ok(there);
    }
    // Each turn passes over one of `tags`.
    while tags.iter().any(|tag| tag.tag == BuildTag::name(branch, at)) {
        at = at.plus(Duration::from_secs(1));
    }
    Err(at)
}

/// The tags of good builds in what `git ls-remote` lists, the newest first.
pub(super) fn tags_in(listed: &str) -> Vec<BuildTag> {
    let lines: HashMap<&str, &str> = listed
        .lines()
        .filter_map(|line| line.split_once('\t').map(|(object, name)| (name, object)))
        .collect();
    let mut tags = Vec::new();
    for (name, object) in &lines {
        let Some(tag) = name.strip_prefix("refs/tags/").filter(|tag| !tag.ends_with("^{}")) else { continue };
        let peeled = format!("{name}^{{}}");
        let commit = lines.get(peeled.as_str()).unwrap_or(object);
        tags.extend(BuildTag::parse(tag, object, commit));
    }
    tags.sort_by(|one, other| (other.at, &other.tag).cmp(&(one.at, &one.tag)));
    tags
}

/// Whether a branch or tag may be called so; what comes from a queue may be anything.
pub(super) fn is_name(text: &str) -> bool {
    text != "HEAD"
        && text.len() <= NAME_LENGTH_MAX
        && !text.starts_with('-')
        && git2::Reference::is_valid_name(&format!("refs/heads/{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_branch_and_time() {
        let at = Timestamp::parse("2025-10-29T12:00:00Z").expect("time");
        assert_eq!(BuildTag::name("feature/x-1", at), "build-success-feature/x-1-20251029T120000Z");
        let listed = "\
1111\trefs/tags/build-success-main-20251029T120000Z
2222\trefs/tags/build-success-main-20251029T120000Z^{}
3333\trefs/tags/build-success-feature/x-1-20251030T120000Z
4444\trefs/tags/build-success-main
5555\trefs/tags/build-success--20251029T120000Z
6666\trefs/tags/build-success-main-20251329T120000Z
7777\trefs/heads/build-success-main-20251029T120000Z
nonsense
";
        let found: Vec<String> = tags_in(listed)
            .iter()
            .map(|tag| format!("{} {} {} {}", tag.branch, tag.at, tag.commit, tag.object))
            .collect();
        assert_eq!(
            found,
            ["feature/x-1 2025-10-30T12:00:00Z 3333 3333", "main 2025-10-29T12:00:00Z 2222 1111"]
        );
        let tags = tags_in(listed);
        for (branch, commit, expected) in [
            ("main", "2222", "build-success-main-20251029T120000Z"),
            ("main", "3333", "2025-10-29T12:00:01Z"),
            ("topic", "2222", "2025-10-29T12:00:00Z"),
        ] {
            let place = place_of(&tags, (branch, commit), at);
            assert_eq!(place.map_or_else(|at| at.to_string(), |tag| tag.tag.clone()), expected);
        }
    }
}
