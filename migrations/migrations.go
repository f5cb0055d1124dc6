// Package migrations holds the DDL, forward only. 0001 is NextAuth's documented
// schema to the letter; nothing of ours is ever added to those tables.
package migrations

import "embed"

// Files are NNNN_name.sql in the order of their numbers.
//
//go:embed *.sql
var Files embed.FS
