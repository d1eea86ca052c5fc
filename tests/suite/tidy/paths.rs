//! Which paths the source files name, in whatever spelling, and where each of them leads.
//!
//! Reads tokens, not syntax, so that what stands in a macro counts like the rest. Knows no types: a call of a
//! method names nothing. Judges nothing; the rules are in `tidy.rs`.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path, segment by segment; from the root of the crate where nothing else is said.
pub(super) type Segments = Vec<String>;

/// How many imports of imports are followed.
const HOPS_MAX: usize = 16;

/// A path as it stands in a file.
#[derive(Debug)]
struct Name {
    /// The module in which it stands.
    within: Segments,
    /// As it is spelled; `*` at the end for all that is there.
    spelled: Segments,
    /// Under which name it is imported, and whether for others only.
    import: Option<(String, bool)>,
}

/// All source files, and what they name.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Of each module the file that it is in.
    modules: BTreeMap<Segments, String>,
    /// What each module imports under which name.
    imports: BTreeMap<(Segments, String), Segments>,
    /// The modules of which each module imports everything.
    wholes: BTreeMap<Segments, Vec<Segments>>,
    names: Vec<(String, Name)>,
}

/// One place where a file names a path.
#[derive(Debug)]
pub(super) struct Use<'a> {
    pub(super) file: &'a str,
    /// As it is spelled.
    pub(super) spelled: &'a [String],
    /// Where it leads in this crate: first by itself, then through each import that it meets.
    pub(super) leads: Vec<Segments>,
    /// Whether it is there only to be imported from here.
    pub(super) is_reexport: bool,
}

impl Sources {
    /// Reads files by their path from the root of the project, `src/domain/job.rs`.
    pub(super) fn read(files: &[(String, String)]) -> Self {
        let mut sources = Self::default();
        for (path, text) in files {
            let module = module_of(path);
            let stream: TokenStream = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
            let mut reader = Reader { modules: vec![module.clone()], names: Vec::new() };
            reader.read(&module, stream);
            for module in reader.modules {
                sources.modules.insert(module, path.clone());
            }
            for name in reader.names {
                if name.spelled.last().is_some_and(|last| last == "*") {
                    let whole = name.spelled[..name.spelled.len() - 1].to_vec();
                    sources.wholes.entry(name.within.clone()).or_default().push(whole);
                } else if let Some((alias, _)) = &name.import {
                    let key = (name.within.clone(), alias.clone());
                    sources.imports.insert(key, name.spelled.clone());
                }
                sources.names.push((path.clone(), name));
            }
        }
        sources
    }

    /// Everything that any file names.
    pub(super) fn uses(&self) -> impl Iterator<Item = Use<'_>> {
        self.names.iter().map(|(file, name)| {
            let mut leads = Vec::new();
            self.follow(&name.within, &name.spelled, HOPS_MAX, &mut leads);
            let is_reexport = name.import.as_ref().is_some_and(|(_, for_others)| *for_others);
            Use { file, spelled: &name.spelled, leads, is_reexport }
        })
    }

    /// The file in which that lies to which a path leads.
    pub(super) fn file_of(&self, path: &[String]) -> Option<&str> {
        let lengths = (1..=path.len()).rev();
        lengths.into_iter().find_map(|length| self.modules.get(&path[..length]).map(String::as_str))
    }

    /// Notes where a path leads that stands in the module `within`.
    fn follow(&self, within: &[String], spelled: &[String], hops: usize, leads: &mut Vec<Segments>) {
        let Some(hops) = hops.checked_sub(1) else { return };
        let Some((base, rest)) = self.beginning(within, spelled, hops, leads) else { return };
        let mut whole = base.clone();
        whole.extend(rest.iter().cloned());
        if !leads.contains(&whole) {
            leads.push(whole);
        }
        let mut module = base;
        for (index, segment) in rest.iter().enumerate() {
            if let Some(import) = self.imports.get(&(module.clone(), segment.clone())) {
                let further: Segments = import.iter().chain(&rest[index + 1..]).cloned().collect();
                return self.follow(&module, &further, hops, leads);
            }
            module.push(segment.clone());
            if !self.modules.contains_key(&module) {
                return;
            }
        }
    }

    /// The module of this crate in which a path begins, and what remains of it.
    fn beginning<'a>(
        &self,
        within: &[String],
        spelled: &'a [String],
        hops: usize,
        leads: &mut Vec<Segments>,
    ) -> Option<(Segments, &'a [String])> {
        let first = spelled.first()?;
        if first == "crate" || first == "git_muster" {
            return Some((Vec::new(), &spelled[1..]));
        }
        if first == "self" || first == "super" {
            let mut base = within.to_vec();
            let mut rest = spelled;
            while let Some(step) = rest.first().filter(|step| *step == "self" || *step == "super") {
                if step == "super" {
                    base.pop();
                }
                rest = &rest[1..];
            }
            return Some((base, rest));
        }
        let child: Segments = within.iter().chain([first]).cloned().collect();
        if self.modules.contains_key(&child) {
            return Some((child, &spelled[1..]));
        }
        let of_import = self.imports.get(&(within.to_vec(), first.clone()));
        if let Some(import) = of_import.filter(|import| import[..] != *spelled && import[0] != *first) {
            let further: Segments = import.iter().chain(&spelled[1..]).cloned().collect();
            self.follow(within, &further, hops, leads);
            return None;
        }
        let wholes = self.wholes.get(within).into_iter().flatten();
        let anchored = wholes.filter(|whole| ["crate", "self", "super"].contains(&whole[0].as_str()));
        let parents = anchored.filter_map(|whole| {
            let (base, rest) = self.beginning(within, whole, hops, leads)?;
            Some(base.iter().chain(rest).cloned().collect::<Segments>())
        });
        let has_it = |parent: &Segments| {
            let module: Segments = parent.iter().chain([first]).cloned().collect();
            self.modules.contains_key(&module) || self.imports.contains_key(&(parent.clone(), first.clone()))
        };
        let parents: Vec<Segments> = parents.collect();
        parents.into_iter().find(has_it).map(|parent| (parent, spelled))
    }
}

/// `src/domain/job.rs` is `domain::job`, `src/domain/mod.rs` is `domain`.
fn module_of(path: &str) -> Segments {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    let path = path.trim_end_matches("/mod");
    let is_root = ["lib", "main"].contains(&path);
    if is_root { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// Reads the tokens of one file.
struct Reader {
    modules: Vec<Segments>,
    names: Vec<Name>,
}

impl Reader {
    fn read(&mut self, within: &[String], stream: TokenStream) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        let mut is_for_others = false;
        while at < tokens.len() {
            let word = word(&tokens[at]);
            let before = at.checked_sub(1).and_then(|before| tokens.get(before));
            if is_doc(&tokens[at..]) {
                at += 2;
            } else if is_only_for_tests(&tokens[at..]) {
                at = after_item(&tokens, at);
            } else if word.as_deref() == Some("pub") {
                is_for_others = true;
                at += 1;
                // `pub(in super)`: its path is no use.
                at += usize::from(
                    matches!(&tokens.get(at), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis),
                );
                continue;
            } else if word.as_deref() == Some("use") && !is_punct(tokens.get(at + 1), '<') {
                let end =
                    (at..tokens.len()).find(|at| is_punct(tokens.get(*at), ';')).unwrap_or(tokens.len());
                self.import(within, &[], &tokens[at + 1..end], is_for_others);
                at = end;
            } else if word.as_deref() == Some("mod") {
                at = self.module(within, &tokens, at);
            } else if word.as_deref().is_some_and(|word| word != "as") {
                at = self.path(within, &tokens, at);
            } else {
                match &tokens[at] {
                    TokenTree::Group(group) if is_punct(before, '#') => {
                        self.attribute(within, group.stream());
                    }
                    TokenTree::Group(group) => self.read(within, group.stream()),
                    _ => {}
                }
                at += 1;
            }
            is_for_others = false;
        }
    }

    /// `mod name { .. }`: what is inside stands in that module.
    fn module(&mut self, within: &[String], tokens: &[TokenTree], at: usize) -> usize {
        let name = tokens.get(at + 1).and_then(word);
        if let (Some(name), Some(TokenTree::Group(group))) = (name, tokens.get(at + 2)) {
            let inner: Segments = within.iter().cloned().chain([name]).collect();
            self.modules.push(inner.clone());
            self.read(&inner, group.stream());
            return at + 3;
        }
        at + 2
    }

    /// A path in code; what is between `<` and `>` is one by itself.
    fn path(&mut self, within: &[String], tokens: &[TokenTree], at: usize) -> usize {
        let (spelled, mut end) = leading(tokens, at);
        // In a macro whole imports may stand as `crate::{a, b}`.
        if let Some(TokenTree::Group(group)) = tokens.get(end)
            && group.delimiter() == Delimiter::Brace
            && is_punct(tokens.get(end - 1), ':')
        {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            self.import(within, &spelled, &inner, false);
            end += 1;
        }
        // What is one word was imported, or is no path.
        if spelled.len() > 1 {
            self.names.push(Name { within: within.to_vec(), spelled, import: None });
        }
        end
    }

    /// The tree of a `use`, or a part of it below `above`.
    fn import(&mut self, within: &[String], above: &[String], tokens: &[TokenTree], for_others: bool) {
        for part in tokens.split(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',')) {
            let (below, end) = leading(part, 0);
            let mut spelled: Segments = above.iter().cloned().chain(below).collect();
            match part.get(end) {
                Some(TokenTree::Group(group)) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    self.import(within, &spelled, &inner, for_others);
                    continue;
                }
                Some(TokenTree::Punct(punct)) if punct.as_char() == '*' => spelled.push("*".to_owned()),
                _ => {}
            }
            // `a::{self as b}` is `a as b`.
            if spelled.len() > 1 && spelled.last().is_some_and(|last| last == "self") {
                spelled.pop();
            }
            let renamed = part.get(end).and_then(word).filter(|word| word == "as");
            let alias = renamed.and_then(|_| part.get(end + 1).and_then(word)).or(spelled.last().cloned());
            if let Some(alias) = alias {
                self.names.push(Name { within: within.to_vec(), spelled, import: Some((alias, for_others)) });
            }
        }
    }

    /// An attribute may name a path in a text: `#[serde(with = "crate::domain::spelled")]`.
    fn attribute(&mut self, within: &[String], stream: TokenStream) {
        self.read(within, stream.clone());
        for text in stream.to_string().split('"').skip(1).step_by(2) {
            let is_path = text.chars().all(|c| c == '_' || c == ':' || c.is_alphanumeric());
            if is_path && text.contains("::") {
                let spelled = text.split("::").map(str::to_owned).collect();
                self.names.push(Name { within: within.to_vec(), spelled, import: None });
            }
        }
    }
}

/// The segments of the path at `at`, and where it ends; a `::` before it does no harm.
fn leading(tokens: &[TokenTree], at: usize) -> (Segments, usize) {
    let mut segments = Vec::new();
    let mut at = at;
    loop {
        while is_punct(tokens.get(at), ':') || is_punct(tokens.get(at), '$') {
            at += 1;
        }
        let Some(segment) = tokens.get(at).and_then(word).filter(|word| word != "as") else { break };
        segments.push(segment);
        at += 1;
        if !(is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')) {
            break;
        }
    }
    (segments, at)
}

fn word(token: &TokenTree) -> Option<String> {
    let TokenTree::Ident(ident) = token else { return None };
    Some(ident.to_string().trim_start_matches("r#").to_owned())
}

fn is_punct(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

/// Whether an attribute without a path begins here: `#[doc = ".."]`, which a comment becomes.
fn is_doc(tokens: &[TokenTree]) -> bool {
    let attribute = tokens.iter().take(3).find_map(|token| match token {
        TokenTree::Group(group) => Some(group.stream().to_string()),
        _ => None,
    });
    is_punct(tokens.first(), '#') && attribute.is_some_and(|text| text.starts_with("doc"))
}

/// Whether the item that begins here is compiled for tests only.
fn is_only_for_tests(tokens: &[TokenTree]) -> bool {
    let [TokenTree::Punct(sign), TokenTree::Group(attribute), ..] = tokens else { return false };
    let text = attribute.stream().to_string();
    sign.as_char() == '#' && text.starts_with("cfg") && words_of(&text).contains("test")
}

fn words_of(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_alphanumeric()).collect()
}

/// Where the item ends that begins at `at`.
fn after_item(tokens: &[TokenTree], at: usize) -> usize {
    let is_end = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        token => is_punct(Some(token), ';'),
    };
    let found = tokens[at..].iter().position(is_end);
    found.map_or(tokens.len(), |length| at + length + 1)
}
