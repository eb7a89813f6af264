//! Lines that give nothing, and formats that cannot be used.

/// Why a line gives no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unparsed {
    /// A part of a container's line; the rest follows.
    #[error("the line goes on in the next one")]
    Partial,
    /// A line that tells of no client: another program's, or one of a server's own.
    #[error("the line tells of no client")]
    Irrelevant,
    /// A line that the writer of this format does not write, or a container's line over 128 KiB.
    #[error("the line is not of this format")]
    Malformed,
    /// A name, a Unix socket or nothing stands where the address should.
    #[error("the line has no address of a client")]
    NoAddress,
    /// What the client wrote could be read as the address.
    #[error("text of the client could be taken for its address")]
    Ambiguous,
}

/// Why a format cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Nothing says who the client is.
    #[error("the format has no address of the client: {0} is needed")]
    NoAddress(&'static str),
    /// Text of the client stands unquoted on both sides of an address, or the client could make its text look like one.
    #[error(
        "`{address}` cannot be told from what a client writes into `{text}`: put quotes around `{text}`, or move `{address}` to the start"
    )]
    Ambiguous {
        /// The variable that holds an address.
        address: String,
        /// The variable that the client writes.
        text: String,
    },
    /// The text of the layout is wrong at a place.
    #[error("`{0}` is not a variable: write `$name` or `${{name}}`")]
    Variable(String),
    /// The key of a JSON log is empty, given twice, or both a value and an object.
    #[error("key `{0}`: {1}")]
    Key(String, &'static str),
    /// There are more variables, quotes or keys than any log has.
    #[error("at most {0} variables or keys are read")]
    TooMany(usize),
}
