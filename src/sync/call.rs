//! What a call of user code is, in every run of the same graph.

#[cfg(feature = "check")]
use std::fmt;

/// What kind of call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[cfg_attr(not(feature = "check"), expect(dead_code, reason = "without the feature some are not made"))]
pub(crate) enum Kind {
    /// No call of the library's, such as the closure of a test.
    Test,
    /// What a stage does with a piece of a batch.
    Batch,
    /// What a lane of it does.
    Lane,
    /// A poll of a future.
    Poll,
    /// A batch that comes to where the order is that of arrival.
    Arrival,
    Task,
    /// Some items of a loop.
    Leaf,
    /// A closure that another call has given to others.
    Closure,
    /// One that has no name.
    Any,
}

#[cfg(feature = "check")]
impl Kind {
    const ALL: [Self; 9] = [
        Self::Test,
        Self::Batch,
        Self::Lane,
        Self::Poll,
        Self::Arrival,
        Self::Task,
        Self::Leaf,
        Self::Closure,
        Self::Any,
    ];
}

/// A call; see the module. Two words, which stay in registers on their way.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Call {
    /// The kind, what it is of, and the part: 8, 24 and 32 bits.
    head: u64,
    /// The number of the batch, task or leaf; or what tells the call that a closure comes from.
    pub(crate) number: u64,
}

/// How many bits a part has.
const PART: u32 = 32;
/// How many bits it has what a call is of.
const OF: u32 = 24;

impl Call {
    #[cfg(feature = "check")]
    pub(crate) const MOST_OF: u32 = (1 << OF) - 1;
    #[cfg(feature = "check")]
    pub(crate) const TEST: Self = Self::new(Kind::Test, 0, 0, 0);
    pub(crate) const ANY: Self = Self::new(Kind::Any, 0, 0, 0);

    /// `of` is the stage, or which closure of another call it is; of more than 2^24 some have the same names.
    #[inline]
    pub(crate) const fn new(kind: Kind, of: u32, number: u64, part: u32) -> Self {
        let of = (of as u64) & ((1 << OF) - 1);
        Self { head: (kind as u64) << (OF + PART) | of << PART | part as u64, number }
    }

    #[inline]
    pub(crate) fn of_stage(kind: Kind, stage: usize, number: u64, part: u32) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "there are fewer stages")]
        Self::new(kind, stage as u32, number, part)
    }

    #[cfg(feature = "check")]
    #[inline]
    pub(crate) fn task(node: u32) -> Self {
        Self::new(Kind::Task, 0, u64::from(node), 0)
    }

    #[inline]
    pub(crate) fn leaf(first: u32) -> Self {
        Self::new(Kind::Leaf, 0, u64::from(first), 0)
    }

    /// What a lane does of it, or what concerns one item.
    #[inline]
    pub(crate) fn in_lane(self, lane: u32) -> Self {
        Self { head: self.head >> PART << PART | u64::from(self.part() << 16 | lane), ..self }
    }

    #[inline]
    pub(crate) fn part(self) -> u32 {
        (self.head & 0xffff_ffff) as u32
    }
}

#[cfg(feature = "check")]
impl Call {
    pub(crate) fn kind(self) -> Kind {
        Kind::ALL[(self.head >> (OF + PART)) as usize]
    }

    pub(crate) fn of(self) -> u32 {
        (self.head >> PART) as u32 & ((1 << OF) - 1)
    }

    /// The closure that this call has given to others as its how-manyth.
    pub(crate) fn closure(self, nth: u32) -> Self {
        // FNV-1a, by words: Fowler, Noll, Vo (1991).
        let words = [self.head, self.number];
        let other =
            words.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, word| (hash ^ word).wrapping_mul(0x0100_0000_01b3));
        Self::new(Kind::Closure, nth, other, 0)
    }

    /// Whether it can be told from others.
    #[inline]
    pub(crate) fn has_name(self) -> bool {
        self.head != Self::ANY.head
    }
}

#[cfg(feature = "check")]
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} {} {}", self.kind(), self.of(), self.number, self.part())
    }
}
