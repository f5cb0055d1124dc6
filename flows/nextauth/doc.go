// Package nextauth makes and reads the tokens of next-auth 3: what its session
// cookie holds where a site has no session rows (session.jwt), and its PKCE
// cookie; and the hashes, cookie values, JSON and URL that it writes. It is pure: whose a token is, and whether it still opens anything, is
// flows' to say.
package nextauth
