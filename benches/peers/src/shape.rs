//! Task graphs as data: who comes before whom.

use std::ops::Range;

/// Lists of numbers, one after the other in one vector.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    ends: Vec<u32>,
    all: Vec<u32>,
}

impl Lists {
    fn push(&mut self, list: &[u32]) {
        self.all.extend_from_slice(list);
        self.ends.push(u32::try_from(self.all.len()).expect("fewer than 2^32 edges"));
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    fn range(&self, list: usize) -> Range<usize> {
        let begin = if list == 0 { 0 } else { self.ends[list - 1] };
        begin as usize..self.ends[list] as usize
    }

    /// Where each list ends, and all lists.
    #[cfg(feature = "tbb")]
    pub fn parts(&self) -> (&[u32], &[u32]) {
        (&self.ends, &self.all)
    }

    #[inline]
    pub fn of(&self, list: usize) -> &[u32] {
        &self.all[self.range(list)]
    }
}

/// A task graph: for each task those that it comes after, all of which have smaller numbers.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    pub before: Lists,
}

impl Shape {
    /// Each comes after those that `before` says, all of which have smaller numbers.
    pub fn of(tasks: usize, mut before: impl FnMut(u32) -> Vec<u32>) -> Self {
        let mut lists = Lists::default();
        for task in 0..u32::try_from(tasks).expect("few tasks") {
            let before = before(task);
            debug_assert!(before.iter().all(|from| *from < task), "task {task} comes after {before:?}");
            lists.push(&before);
        }
        Self { before: lists }
    }

    pub fn tasks(&self) -> usize {
        self.before.len()
    }

    /// One after the other.
    pub fn chain(tasks: usize) -> Self {
        Self::of(tasks, |task| task.checked_sub(1).into_iter().collect())
    }

    /// No order.
    pub fn independent(tasks: usize) -> Self {
        Self::of(tasks, |_| Vec::new())
    }

    /// A square; each comes after its neighbours above and to the left.
    pub fn wavefront(side: u32) -> Self {
        Self::of((side * side) as usize, |task| {
            let above = task.checked_sub(side);
            let left = (task % side > 0).then(|| task - 1);
            above.into_iter().chain(left).collect()
        })
    }

    /// Each comes after four random ones of the layer before.
    pub fn random(layers: u32, width: u32) -> Self {
        let mut x = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = move || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            u32::try_from(x % u64::from(width)).expect("below the width")
        };
        Self::of((layers * width) as usize, |task| match (task / width).checked_sub(1) {
            None => Vec::new(),
            Some(layer) => (0..4).map(|_| layer * width + random()).collect(),
        })
    }

    /// A binary tree from its root to its leaves, and mirrored from there to one last task; the leaves are shared.
    pub fn tree(levels: u32) -> Self {
        let (out, inner) = ((1_u32 << levels) - 1, (1_u32 << (levels - 1)) - 1);
        // The mirror image of inner task k is the (inner - k)-th behind the tree: so there too the tasks that come
        // before a task have smaller numbers.
        let mirrored = |task: u32| if task < inner { out + inner - 1 - task } else { task };
        Self::of((out + inner) as usize, |task| {
            if task < out {
                task.checked_sub(1).map(|above| above / 2).into_iter().collect()
            } else {
                let image = out + inner - 1 - task;
                vec![mirrored(2 * image + 1), mirrored(2 * image + 2)]
            }
        })
    }

    /// One, then two at the same time, then one.
    pub fn diamond() -> Self {
        let mut before = Lists::default();
        [&[][..], &[0], &[0], &[1, 2]].iter().for_each(|list| before.push(list));
        Self { before }
    }

    /// For each task those that come after it.
    pub fn after(&self) -> Lists {
        let tasks = self.tasks();
        let mut places = vec![0_u32; tasks + 1];
        self.before.all.iter().for_each(|from| places[*from as usize + 1] += 1);
        (0..tasks).for_each(|task| places[task + 1] += places[task]);
        let ends = places[1..].to_vec();
        let mut all = vec![0_u32; self.before.all.len()];
        for task in 0..tasks {
            for from in self.before.of(task) {
                let place = &mut places[*from as usize];
                all[*place as usize] = u32::try_from(task).expect("few tasks");
                *place += 1;
            }
        }
        Lists { ends, all }
    }

    /// The tasks by their distance from the first ones.
    pub fn levels(&self) -> Vec<Vec<u32>> {
        let mut levels: Vec<Vec<u32>> = Vec::new();
        let mut level_of: Vec<u32> = Vec::with_capacity(self.tasks());
        for task in 0..self.tasks() {
            let level = self.before.of(task).iter().map(|from| level_of[*from as usize] + 1).max().unwrap_or(0);
            level_of.push(level);
            if levels.len() == level as usize {
                levels.push(Vec::new());
            }
            levels[level as usize].push(u32::try_from(task).expect("few tasks"));
        }
        levels
    }
}
