//! The wanted keys of a format as a tree.

/// The most keys and objects on the way to them: one bit each.
const MOST_NODES: usize = 64;
/// The deepest object that holds a wanted key; bounds recursion.
const DEEPEST_KEY: usize = 8;

/// The wanted keys as a tree.
#[derive(Clone, Debug)]
pub(in super::super) struct Keys {
    pub(super) nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    name: Box<[u8]>,
    children: Vec<usize>,
    pub(super) slot: Option<usize>,
}

impl Keys {
    /// Keys at the top level, of which the first has slot 0.
    pub(in super::super) fn flat(names: &[&str]) -> Self {
        let mut keys = Self {
            nodes: vec![Node::default()],
        };
        for (slot, name) in names.iter().enumerate() {
            // Names in code are distinct, and few.
            let _ = keys.insert([name.as_bytes().to_vec()], slot);
        }
        keys
    }

    /// Adds a key by the names on the way to it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(in super::super) fn insert(
        &mut self,
        names: impl IntoIterator<Item = Vec<u8>>,
        slot: usize,
    ) -> Result<(), &'static str> {
        let mut node = 0;
        let mut depth = 0;
        for name in names {
            depth += 1;
            if name.is_empty() {
                return Err("a name is empty");
            }
            if self.nodes[node].slot.is_some() {
                return Err("another key wants a value where this one wants an object");
            }
            node = match self.child(node, &name) {
                Some(child) => child,
                None => self.add(node, name)?,
            };
        }
        if depth == 0 || depth > DEEPEST_KEY {
            return Err("it is nested too deeply");
        }
        let node = &mut self.nodes[node];
        if node.slot.is_some() {
            return Err("it is given twice");
        }
        if !node.children.is_empty() {
            return Err("another key wants an object where this one wants a value");
        }
        node.slot = Some(slot);
        Ok(())
    }

    fn add(&mut self, parent: usize, name: Vec<u8>) -> Result<usize, &'static str> {
        let new = self.nodes.len();
        if new == MOST_NODES {
            return Err("there are too many keys");
        }
        self.nodes.push(Node {
            name: name.into(),
            ..Node::default()
        });
        self.nodes[parent].children.push(new);
        Ok(new)
    }

    pub(super) fn child(&self, node: usize, name: &[u8]) -> Option<usize> {
        let children = &self.nodes[node].children;
        children
            .iter()
            .copied()
            .find(|child| *self.nodes[*child].name == *name)
    }
}
