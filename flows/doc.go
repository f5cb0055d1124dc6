// Package flows decides who may sign in, as whom, and for how long.
//
// OAuth, MagicLink and Sessions each do one thing a person came for. What must
// survive between two requests of a browser is a value ([Attempt],
// [MailAttempt], [PendingLink]) that package web seals into a cookie. The
// decisions inside are pure functions with a table test each: does this answer
// belong to that request, whom does it sign in ([link]), where may the browser
// go next ([ReturnTo]), is this one mailbox ([ParseAddress]).
//
// The package knows no header, cookie, template or SQL.
package flows
