//! The table of clients.

use couic_common::ClientInfo;

use super::Table;

/// The clients with their tokens, which the command exists to show.
pub(crate) fn clients<'a>(clients: impl IntoIterator<Item = &'a ClientInfo>) -> Table {
    let mut table = Table::new(&["Name", "Group", "Token"]);
    for ClientInfo { name, group, token } in clients {
        table.row(&[name, group, token]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::drawn;

    #[test]
    fn columns_of_the_contract() {
        let client = ClientInfo {
            name: "web".parse().unwrap(),
            group: couic_common::Group::ClientRw,
            token: uuid::Uuid::nil(),
        };
        let expected = "\
┌──────┬──────────┬──────────────────────────────────────┐
│ Name ┆ Group    ┆ Token                                │
╞══════╪══════════╪══════════════════════════════════════╡
│ web  ┆ clientrw ┆ 00000000-0000-0000-0000-000000000000 │
└──────┴──────────┴──────────────────────────────────────┘
";
        assert_eq!(drawn(&clients([&client])), expected);
    }
}
