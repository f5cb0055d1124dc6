// Package gate decides who may pass: a request as a reverse proxy describes it,
// the operator's rules, and who is asking, give a Decision. It is pure: it
// knows no HTTP server, cookie, database or clock.
//
// A URL can be read in more than one way: an application may decode it twice,
// resolve dots, drop parameters of segments, or ignore case. Decide judges every
// reading ([Request.readings]) by itself and lets the strictest verdict stand, so
// that what is granted holds for all readings and what is forbidden bites on
// any (forward-auth §8.2).
package gate
