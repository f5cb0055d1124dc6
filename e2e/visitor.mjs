// A visitor is a browser without a screen: it keeps cookies and follows nothing.
export function visitor(origin, cookies = {}) {
  const ask = async (path, form) => {
    const r = await fetch(new URL(path, origin), {
      redirect: 'manual', method: form ? 'POST' : 'GET', body: form && new URLSearchParams(form),
      headers: { cookie: Object.entries(cookies).map(([k, v]) => `${k}=${v}`).join('; ') },
    });
    for (const c of r.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(c);
      if (value === '' || /; max-age=0/i.test(c)) delete cookies[name];
      else cookies[name] = value;
    }
    return r;
  };
  const csrf = async () => (await (await ask('/api/auth/csrf')).json()).csrfToken;
  const post = async (path, form) => ask(path, { ...form, csrfToken: await csrf() });
  const session = async () => (await ask('/api/auth/session')).json();
  return { origin, cookies, ask, csrf, post, session, again: () => visitor(origin, { ...cookies }) };
}
