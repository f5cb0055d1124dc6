// A page of a site that uses NextAuth's client, as its documentation has it.
import React from 'react';
import { render } from 'react-dom';
import * as client from 'next-auth/client';

window.client = client;

function Who() {
  const [session, loading] = client.useSession();
  if (loading) return <p id="who">loading</p>;
  if (!session) return <p id="who">nobody <button onClick={() => client.signIn('work')}>Sign in</button></p>;
  return <p id="who">{session.user.email} <button onClick={() => client.signOut()}>Sign out</button></p>;
}

render(<client.Provider><Who /></client.Provider>, document.getElementById('root'));
