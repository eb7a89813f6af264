//! The table of clients.

use couic_common::ClientInfo;

use super::Table;

/// The clients, with their tokens if asked for.
pub(crate) fn clients<'a>(
    clients: impl IntoIterator<Item = &'a ClientInfo>,
    show_tokens: bool,
) -> Table {
    let columns = ["Name", "Group", "Token"];
    let shown = if show_tokens { 3 } else { 2 };
    let mut table = Table::new(&columns[..shown]);
    for ClientInfo { name, group, token } in clients {
        let cells: [&dyn std::fmt::Display; 3] = [name, group, token];
        table.row(&cells[..shown]);
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
        assert_eq!(drawn(clients([&client], true)), expected);
    }
}
