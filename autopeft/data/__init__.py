"""Data: reading, looking at columns, splitting.

    load      anything a user may have -> `Source`
    columns   what a column holds -> `ColumnProfile`
    split     train / selection / test, seeded and stratified -> `Splits`
    demo      the data and the model of ``autopeft search demo``

What reading is made of: `place` (files, folders, hub names), `memory` (frames and lists),
`encoding`, `delimited` and `json_rows` (text files as rows), `table` (rows as an Arrow file).
"""
