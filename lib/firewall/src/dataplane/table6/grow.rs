//! Doubles the IPv6 bucket table in place.

use couic_ebpf::{
    hash::Place,
    layout::{LINE, LINES_TRIED, MORE6},
};

use super::{
    super::{
        PlaneError,
        region::{read, write},
        sizes::last,
        store::Store,
        tops::Tops,
    },
    Table6,
};

impl Table6 {
    pub(super) fn can_grow(&self, store: &Store) -> bool {
        self.lines * 2 <= store.line6.capacity()
    }

    /// Doubles the table, as `Table4` does.
    pub(super) fn grow(&mut self, store: &mut Store, tops: &mut Tops) -> Result<(), PlaneError> {
        let (old, new) = (self.lines, self.lines * 2);
        store.line6.reach(new)?;
        let mut passed = vec![0; new];
        let mut moved = Vec::new();
        self.each_move(store, new, |line, lane, nth, place, to| {
            if to != line {
                let value = read!(store.line6, line, lanes[lane]) & !MORE6;
                let more = read!(store.line6, to, lanes[lane]) & MORE6;
                write!(store.line6, to, lanes[lane] => more | value);
                moved.push((line, lane));
            }
            for n in 0..nth {
                passed[place.line(n, last(new)) as usize] += 1;
            }
        });
        self.passed = passed;
        for line in old..new {
            self.show_passed(store, line);
        }
        write!(store.config, 0, mask6 => last(new));
        tops.bump_all(store);
        for (line, lane) in moved {
            let more = read!(store.line6, line, lanes[lane]) & MORE6;
            write!(store.line6, line, lanes[lane] => more);
        }
        for line in 0..old {
            self.show_passed(store, line);
        }
        self.lines = new;
        Ok(())
    }

    fn each_move(
        &self,
        store: &Store,
        new: usize,
        mut visit: impl FnMut(usize, usize, u32, Place, usize),
    ) {
        for line in 0..self.lines {
            for lane in 0..LINE {
                let value = read!(store.line6, line, lanes[lane]) & !MORE6;
                if value == 0 {
                    continue;
                }
                let entry = (value & last(1 << store.index_bits)) as usize;
                let place = Self::place(store, Self::key_of(store, entry));
                let nth = (0..LINES_TRIED)
                    .find(|n| self.line(place, *n) == line)
                    .unwrap_or(0);
                visit(line, lane, nth, place, place.line(nth, last(new)) as usize);
            }
        }
    }
}
