// Getting in: with a password, with the code of this start, or by making the first user.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { ask } from "./api.js";
import { t } from "./i18n.js";

function Field({ label, name, type = "text", hint, ...rest }) {
  return html`<label class="field"><span>${label}</span>
    <input name=${name} type=${type} required autocapitalize="none" spellcheck=${false} ...${rest} />
    ${hint ? html`<small>${hint}</small>` : null}</label>`;
}

// The code that the address brought, which goes from the address at once.
function brought() {
  const found = /^#code=([\w-]+)$/.exec(location.hash);
  if (found) history.replaceState(null, "", location.pathname);
  return found ? found[1] : "";
}

// A browser ends what it asks when it hears that addresses of its machine have changed, as they have after a change here.
async function askTwice(path, options) {
  try {
    return await ask(path, options);
  } catch (problem) {
    if (problem.code !== "unreachable" || path !== "session") throw problem;
    await new Promise((done) => setTimeout(done, 1000));
    return ask(path, options);
  }
}

export function Door({ who, enter, settings }) {
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const send = async (path, body) => {
    setBusy(true);
    setProblem(null);
    try {
      enter(await askTwice(path, { method: "POST", body }));
    } catch (problem) {
      setProblem(problem);
      setBusy(false);
    }
  };
  useEffect(() => {
    const code = brought();
    if (code && who.way === "code") send("session", { code });
  }, []);
  const submit = (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.target));
    if (who.way === "setup") {
      if (given.password !== given.again) return setProblem(new Error(t("setup.differ")));
      delete given.again;
      return send("setup", given);
    }
    return send("session", given);
  };
  const code = html`<${Field} label=${t("code")} name="code" hint=${t(`code.${who.way}`)} autocomplete="off"
    autofocus maxlength="20" placeholder="ABCD-EFGH" class="code" />`;
  const user = html`<${Field} label=${t("user")} name="user" autocomplete="username" autofocus=${who.way === "password"}
    maxlength="256" />`;
  const fresh = who.way === "setup";
  const password = html`<${Field} label=${t("password")} name="password" type="password" maxlength="1024"
    hint=${fresh ? t("setup.password") : null} autocomplete=${fresh ? "new-password" : "current-password"} />`;
  const again = html`<${Field} label=${t("setup.again")} name="again" type="password" maxlength="1024"
    autocomplete="new-password" />`;
  return html`<main class="door">
    <h1><span class="mark" aria-hidden="true"></span>${who.gateway}</h1>
    ${who.plain ? html`<p class="banner warn">${t("plain")}</p>` : null}
    <form onSubmit=${submit} class="card">
      <h2>${t(`door.${who.way}`)}</h2>
      ${who.way === "setup" ? html`<p>${t("setup.text")}</p>` : null}
      ${who.way !== "password" ? code : null}
      ${who.way !== "code" ? html`${user}${password}` : null}
      ${fresh ? again : null}
      ${problem ? html`<p class="failed" role="alert">${problem.code === "weak_password" || problem.code === "not_made"
        ? problem.detail : problem.message}</p>` : null}
      <button class="main" disabled=${isBusy}>${t(isBusy ? "door.wait" : fresh ? "door.make" : "door.enter")}</button>
    </form>
    ${settings}
  </main>`;
}
