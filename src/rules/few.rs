//! A list that is nearly always one thing, two or none: these lie where the list lies. Never allocates for them.

#[derive(Debug)]
pub(super) struct Few<T> {
    first: Option<T>,
    second: Option<T>,
    more: Vec<T>,
}

impl<T> Default for Few<T> {
    fn default() -> Few<T> {
        Few { first: None, second: None, more: Vec::new() }
    }
}

impl<T> Few<T> {
    pub(super) fn push(&mut self, item: T) {
        match (&self.first, &self.second) {
            (None, _) => self.first = Some(item),
            (Some(_), None) => self.second = Some(item),
            (Some(_), Some(_)) => self.more.push(item),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.second).chain(&self.more)
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter =
        std::iter::Chain<std::iter::Chain<std::option::IntoIter<T>, std::option::IntoIter<T>>, std::vec::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.second).chain(self.more)
    }
}
