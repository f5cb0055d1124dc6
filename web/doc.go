// Package web is the HTTP surface: NextAuth v3's contract under the base path,
// the pages, and the account page.
//
// A handler parses, calls one flow, and answers. Every cookie is set in
// cookies.go; every header that protects a page in headers.go; every error
// becomes an answer in errors.go.
package web
