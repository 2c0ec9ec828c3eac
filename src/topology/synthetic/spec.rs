//! Reads hwloc's synthetic description: `[attributes] {[numa] | level:number[attributes]}`.

use std::ops::Range;

use super::super::CpuSet;

/// What a level consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Machine,
    Package,
    Die,
    Numa,
    /// A level-3 cache for data, or for data and instructions.
    L3,
    Core,
    Pu,
    /// A level that a topology does not show; it only multiplies the number of parts.
    Group,
    /// A cache of another level, or one for instructions. A topology does not show it either.
    Cache(u8, bool),
}

/// A level such as `core:8(…)`, or the machine itself.
pub(super) struct Level {
    pub(super) kind: Kind,
    /// The text of the level, without attributes.
    pub(super) text: String,
    /// How many of these parts there are in the machine.
    pub(super) width: usize,
    pub(super) attributes: Attributes,
    /// Nodes attached to each of these parts.
    pub(super) attached: Vec<Attributes>,
}

#[derive(Default)]
pub(super) struct Attributes {
    /// The memory of a node, in bytes.
    pub(super) memory: Option<u64>,
    /// The size of a cache, in bytes.
    pub(super) size: Option<u64>,
    pub(super) indexes: Option<String>,
}

/// A description that was read and checked, except for its `indexes`: the levels from the machine to the PUs.
pub(super) struct Spec {
    pub(super) levels: Vec<Level>,
    pub(super) notes: Vec<String>,
}

/// The largest number of levels, as in hwloc.
const MAX_LEVELS: usize = 128;

impl Spec {
    pub(super) fn parse(description: &str) -> Result<Self, String> {
        let mut reader = Reader { rest: description, levels: Vec::new(), bare: Vec::new(), ignored: Vec::new() };
        reader.levels.push(Level {
            kind: Kind::Machine,
            text: "the machine".to_owned(),
            width: 1,
            attributes: Attributes::default(),
            attached: Vec::new(),
        });
        reader.read()?;
        reader.name_bare_levels()?;
        check(&reader.levels)?;
        let ignored = (!reader.ignored.is_empty()).then(|| format!("not taken: {}", reader.ignored.join(", ")));
        Ok(Self { levels: reader.levels, notes: ignored.into_iter().collect() })
    }

    /// How many PUs there are.
    pub(super) fn total(&self) -> usize {
        self.levels.last().map_or(1, |level| level.width)
    }

    /// The places of the PUs in a part.
    pub(super) fn range(&self, level: usize, part: usize) -> Range<usize> {
        let share = self.total() / self.levels[level].width;
        part * share..(part + 1) * share
    }
}

struct Reader<'t> {
    rest: &'t str,
    levels: Vec<Level>,
    /// The indices of levels that were written as a number alone.
    bare: Vec<usize>,
    /// Attributes that are not used.
    ignored: Vec<String>,
}

impl<'t> Reader<'t> {
    fn read(&mut self) -> Result<(), String> {
        self.skip_space();
        if self.rest.starts_with('(') {
            self.levels[0].attributes = self.attributes(Kind::Machine, "the machine")?;
        }
        loop {
            self.skip_space();
            if let Some(rest) = self.rest.strip_prefix('[') {
                self.rest = rest;
                self.read_attached()?;
            } else if self.rest.is_empty() {
                return Ok(());
            } else {
                self.read_level()?;
            }
        }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes the text before the first stop.
    fn take(&mut self, is_stop: impl Fn(char) -> bool) -> &'t str {
        let (taken, rest) = self.rest.split_at(self.rest.find(is_stop).unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Reads an attached node, `numa(…)]`.
    fn read_attached(&mut self) -> Result<(), String> {
        let name = self.take(|c| "(]".contains(c)).trim();
        if kind(name) != Some(Kind::Numa) {
            return Err(format!("'[{name}' is no '[numa]': nothing else can be attached"));
        }
        let attributes =
            if self.rest.starts_with('(') { self.attributes(Kind::Numa, name)? } else { Attributes::default() };
        self.skip_space();
        self.rest = self.rest.strip_prefix(']').ok_or_else(|| format!("'[{name}' lacks its ']'"))?;
        self.levels.last_mut().expect("there is the machine at least").attached.push(attributes);
        Ok(())
    }

    /// Reads a level, `core:8(…)` or `8(…)`.
    fn read_level(&mut self) -> Result<(), String> {
        let text = self.take(|c| c.is_whitespace() || "([".contains(c));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let (kind, number) = match text.split_once(':') {
            Some((name, number)) => (kind(name).ok_or_else(|| unknown(name))?, number),
            None if is_number(text) => {
                self.bare.push(self.levels.len());
                (Kind::Group, text)
            }
            None if kind(text).is_some() => return Err(format!("'{text}' lacks its number, as in '{text}:2'")),
            None => return Err(unknown(text)),
        };
        if kind == Kind::Machine {
            return Err(format!("'{text}': the machine is around all levels: leave it out"));
        }
        if !is_number(number) || number.bytes().all(|byte| byte == b'0') {
            return Err(format!("'{text}': '{number}' is no number of parts"));
        }
        let around = self.levels.last().expect("there is the machine at least").width;
        let width = number.parse().ok().and_then(|number: usize| number.checked_mul(around));
        let width = width.filter(|width| *width <= CpuSet::MAX);
        let width = width.ok_or_else(|| format!("'{text}' makes more than {} of them", CpuSet::MAX))?;
        if self.levels.len() > MAX_LEVELS {
            return Err(format!("'{text}' is one level more than {MAX_LEVELS}"));
        }
        let attributes = if self.rest.starts_with('(') { self.attributes(kind, text)? } else { Attributes::default() };
        self.levels.push(Level { kind, text: text.to_owned(), width, attributes, attached: Vec::new() });
        Ok(())
    }

    /// Reads attributes, `(memory=1GB indexes=2*2:1*2)`.
    fn attributes(&mut self, kind: Kind, of: &str) -> Result<Attributes, String> {
        self.rest = &self.rest[1..];
        let inside = self.take(|c| c == ')');
        self.rest = self.rest.strip_prefix(')').ok_or_else(|| format!("'({inside}' of '{of}' lacks its ')'"))?;
        let mut attributes = Attributes::default();
        for attribute in inside.split_whitespace() {
            let size = |text| bytes(text).ok_or_else(|| format!("'{attribute}' of '{of}' is no size such as 16GiB"));
            match attribute.split_once('=') {
                Some(("memory", text)) if kind == Kind::Numa => attributes.memory = Some(size(text)?),
                Some(("size", text)) if kind == Kind::L3 => attributes.size = Some(size(text)?),
                // A bare level is a group for now. What it is becomes known only when all levels are read.
                Some(("indexes", text)) if [Kind::Numa, Kind::Pu, Kind::Group].contains(&kind) => {
                    attributes.indexes = Some(text.to_owned());
                }
                _ => self.ignored.push(format!("{attribute} of {of}")),
            }
        }
        Ok(attributes)
    }

    /// Gives levels to bare numbers as hwloc does: NUMA nodes first, then packages, cores, caches and groups, as long
    /// as numbers are left.
    fn name_bare_levels(&mut self) -> Result<(), String> {
        let inner = 1..self.levels.len() - 1;
        if let Some(last) = self.bare.last().copied().filter(|last| *last == inner.end) {
            self.levels[last].kind = Kind::Pu;
            self.bare.pop();
        }
        if self.bare.is_empty() {
            return Ok(());
        }
        if self.bare.len() < inner.len() {
            let text = &self.levels[self.bare[0]].text;
            return Err(format!("'{text}' has no name, but others have: name all levels, or none"));
        }
        let mut left = inner.len();
        let mut want = |wanted: usize| {
            let got = wanted.min(left);
            left -= got;
            got
        };
        let is_attached = self.levels.iter().any(|level| !level.attached.is_empty());
        let numa = want(usize::from(!is_attached));
        let (packages, cores, caches) = (want(1), want(1), want(4));
        // From the outside in. Which caches there are depends on how many numbers are left for them.
        let by_count: [&[Kind]; 5] = [
            &[],
            &[Kind::Cache(2, false)],
            &[Kind::Cache(2, false), Kind::Cache(1, false)],
            &[Kind::L3, Kind::Cache(2, false), Kind::Cache(1, false)],
            &[Kind::L3, Kind::Cache(2, false), Kind::Cache(1, false), Kind::Cache(1, true)],
        ];
        let kinds = std::iter::repeat_n(Kind::Group, left)
            .chain(std::iter::repeat_n(Kind::Package, packages))
            .chain(std::iter::repeat_n(Kind::Numa, numa))
            .chain(by_count[caches].iter().copied())
            .chain(std::iter::repeat_n(Kind::Core, cores));
        self.levels[inner].iter_mut().zip(kinds).for_each(|(level, kind)| level.kind = kind);
        Ok(())
    }
}

/// The kind of a level by its name: hwloc's names, in full or abbreviated to two letters or more, in upper or lower
/// case.
pub(super) fn kind(name: &str) -> Option<Kind> {
    let name = name.to_ascii_lowercase();
    if let Some(cache) = name.strip_prefix('l').filter(|cache| cache.starts_with(|c: char| c.is_ascii_digit())) {
        let (level, rest) = cache.split_at(1);
        let level: u8 = level.parse().ok().filter(|level| (1..=5).contains(level))?;
        let of_instructions = rest.starts_with('i');
        let rest = rest.strip_prefix(['d', 'i', 'u']).unwrap_or(rest);
        let kind = if level == 3 && !of_instructions { Kind::L3 } else { Kind::Cache(level, of_instructions) };
        return "cache".starts_with(rest).then_some(kind);
    }
    let plain = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let is = |full: &str| name.len() >= 2 && full.starts_with(&name);
    let kinds = [
        ("machine", Kind::Machine),
        ("package", Kind::Package),
        ("socket", Kind::Package),
        ("die", Kind::Die),
        ("numanode", Kind::Numa),
        ("node", Kind::Numa),
        ("core", Kind::Core),
        ("pu", Kind::Pu),
    ];
    let found = kinds.iter().find(|(full, _)| is(full)).map(|(_, kind)| *kind);
    let is_group = plain.len() >= 2 && "group".starts_with(plain) || ["tile", "module"].contains(&name.as_str());
    found.or_else(|| is_group.then_some(Kind::Group))
}

fn unknown(name: &str) -> String {
    format!("'{name}' is no level: there are package, die, numa, group, l1 to l5, core and pu")
}

/// A size such as `1GB`, `16GiB`, `4096`; upper or lower case.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1000_u64.pow(2),
        "gb" => 1000_u64.pow(3),
        "tb" => 1000_u64.pow(4),
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// Whether the levels are in an order that a machine can have.
fn check(levels: &[Level]) -> Result<(), String> {
    let last = levels.last().expect("there is the machine at least");
    if levels.len() == 1 {
        return Err("it has no levels: it ends with the PUs, as in 'core:4 pu:2'".to_owned());
    }
    if last.kind != Kind::Pu {
        return Err(format!("'{}' is last, where the PUs belong, as in 'pu:2'", last.text));
    }
    let mut core: Option<&Level> = None;
    for (index, level) in levels.iter().enumerate() {
        let text = &level.text;
        let is_repeated = levels[..index].iter().any(|other| other.kind == level.kind);
        if is_repeated && !matches!(level.kind, Kind::Group | Kind::Cache(..)) {
            return Err(format!("'{text}': there is such a level already"));
        }
        if level.kind == Kind::Pu && index < levels.len() - 1 {
            return Err(format!("'{text}' is not last: nothing is inside of a PU"));
        }
        if let Some(core) = core {
            if matches!(level.kind, Kind::Package | Kind::Die | Kind::Numa | Kind::L3) {
                return Err(format!("'{text}' is inside of '{}': a core is not divided among them", core.text));
            }
            if !level.attached.is_empty() {
                return Err(format!("'[numa]' behind '{text}': a core is not divided among nodes"));
            }
        }
        if level.kind == Kind::Core {
            core = Some(level);
        }
        if level.kind == Kind::Numa && levels.iter().any(|other| !other.attached.is_empty()) {
            return Err(format!("'{text}': nodes are a level or attached as '[numa]', not both"));
        }
    }
    Ok(())
}
