"""The dialog behind "This is wrong": one for the page, so that cards can be redrawn meanwhile."""

DIALOG = """
<dialog id="wrong" aria-labelledby="wrong-title"><form>
  <header><img alt=""><div><h2 id="wrong-title"></h2><p class="before"></p></div></header>
  <input type="search" placeholder="Find a label" aria-label="Find a label" autocomplete="off">
  <div class="labels" role="group" aria-labelledby="wrong-title"></div>
  <p class="problem" role="alert"></p>
  <footer><button type="button" class="cancel">Cancel</button><button type="submit">Send</button></footer>
</form></dialog>
"""

DIALOG_CSS = """
.card .verdict-of-person { grid-column: 1 / -1; display: flex; align-items: center; gap: 4px 14px; flex-wrap: wrap;
  min-height: 32px; }
.card button.wrong { font: inherit; font-size: 13px; line-height: 20px; padding: 5px 12px; border-radius: 8px; cursor: pointer;
  color: var(--muted); background: none; border: 1px solid var(--border-color-primary); transition: color .12s, border-color .12s; }
.card button.wrong:hover { color: var(--body-text-color); border-color: var(--muted); }
.card button.wrong:focus-visible, #wrong :focus-visible { outline: 2px solid var(--color-accent); outline-offset: 2px; }
.card .thanks { font-size: 14px; color: var(--body-text-color); }
.card .thanks::before { content: "✓"; color: #16a34a; font-weight: 700; margin-right: 8px; }
#correction { min-height: 0 !important; height: 0; overflow: visible; }

#wrong { width: min(480px, calc(100vw - 32px)); max-height: min(680px, calc(100dvh - 32px)); padding: 0; margin: auto !important;
  border: 1px solid var(--border-color-primary); border-radius: 16px; color: var(--body-text-color);
  background: var(--background-fill-primary); box-shadow: 0 24px 64px rgb(0 0 0 / .28); overflow: hidden; }
#wrong::backdrop { background: rgb(9 9 11 / .45); backdrop-filter: blur(2px); }
#wrong form { display: flex; flex-direction: column; gap: 16px; padding: 22px; max-height: inherit; box-sizing: border-box; }
#wrong header { display: flex; gap: 16px; align-items: center; }
#wrong header img { width: 72px; height: 72px; object-fit: cover; border-radius: 10px; margin: 0; flex: none; }
#wrong header img:not([src]) { display: none; }
#wrong h2 { font-size: 18px; font-weight: 650; letter-spacing: -.01em; line-height: 1.3; margin: 0; color: inherit; }
#wrong .before { font-size: 13px; line-height: 1.45; color: var(--muted); margin: 4px 0 0; overflow-wrap: anywhere; }
#wrong input[type=search] { font: inherit; font-size: 14px; padding: 9px 12px; border-radius: 9px; color: inherit;
  border: 1px solid var(--border-color-primary); background: var(--background-fill-secondary); }
#wrong .labels { flex: 0 1 auto; margin: 0 -4px; padding: 4px; display: flex; flex-wrap: wrap; align-content: flex-start; gap: 8px;
  overflow-y: auto; min-height: 44px; min-width: 0; }
#wrong .labels label { position: relative; display: inline-flex; align-items: center; max-width: 100%; padding: 8px 15px;
  min-height: 40px; box-sizing: border-box; border-radius: 20px; border: 1px solid var(--border-color-primary); font-size: 14px;
  line-height: 20px; cursor: pointer; overflow-wrap: anywhere; transition: background .12s, border-color .12s; }
#wrong .labels label:hover { border-color: var(--muted); }
#wrong .labels label:has(:checked) { background: var(--meant); border-color: var(--color-accent); font-weight: 600; }
#wrong .labels label:has(:focus-visible) { outline: 2px solid var(--color-accent); outline-offset: 2px; }
#wrong .labels input { position: absolute; inset: 0; opacity: 0; margin: 0; cursor: pointer; width: 100%; height: 100%; }
#wrong .labels p { margin: 8px 4px; font-size: 14px; color: var(--muted); }
#wrong .problem { margin: 0; padding: 9px 14px; border-radius: 8px; font-size: 14px; line-height: 1.5; overflow-wrap: anywhere;
  background: color-mix(in srgb, #dc2626 10%, transparent); }
#wrong .problem::first-letter { text-transform: uppercase; }
#wrong .problem:empty, #wrong [hidden] { display: none !important; }
#wrong header, #wrong footer { flex: none; margin: 0; }
#wrong footer { display: flex; align-items: stretch; justify-content: flex-end; gap: 10px; }
#wrong footer button { font: inherit; margin: 0; line-height: 20px; font-size: 14px; font-weight: 600; padding: 9px 18px; border-radius: 9px; cursor: pointer;
  border: 1px solid var(--border-color-primary); background: none; color: inherit; }
#wrong footer button[type=submit] { background: var(--color-accent); border-color: transparent; color: #fff; }
#wrong footer button:disabled { opacity: .45; cursor: default; }
@media (max-width: 560px) {
  #wrong { width: 100vw; max-width: 100vw; margin: auto 0 0 !important; border-radius: 18px 18px 0 0; border-width: 1px 0 0; }
  #wrong footer button { flex: 1; padding: 12px 18px; }
}
"""

DIALOG_JS = """
() => {
  const FIND_FROM = 13, dialog = () => document.getElementById('wrong');
  const part = (selector) => dialog().querySelector(selector);
  let card = null, several = false, filled = false;
  const ask = async (id, options) => {
    let answer;
    try {
      answer = await fetch(`corrections/${id}`, options);
    } catch { throw new Error('The predictor does not answer. Is imgclf up running?'); }
    const facts = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(facts.error || `The predictor answered HTTP ${answer.status}.`);
    return facts;
  };
  const chosen = () => [...dialog().querySelectorAll('.labels input:checked')].map((input) => input.value);
  // Of several labels none is an answer, too.
  const refresh = () => {
    const count = chosen().length, button = part('[type=submit]');
    button.disabled = !filled || (!several && !count);
    button.textContent = filled && several && !count ? 'Send: none of these' : 'Send';
  };
  const fill = (facts) => {
    several = facts.several;
    filled = true;
    part('h2').textContent = facts.several ? 'What is really on this image?' : 'What is this really?';
    part('.before').textContent = facts.opinions.length ? facts.opinions.join(' · ') + '.' : '';
    part('[type=search]').hidden = facts.labels.length < FIND_FROM;
    part('.labels').replaceChildren(...facts.labels.map((label) => {
      const box = document.createElement('label'), input = document.createElement('input');
      Object.assign(input, { type: facts.several ? 'checkbox' : 'radio', name: 'label', value: label,
                             checked: facts.chosen.includes(label) });
      box.append(input, label);
      return box;
    }));
    refresh();
    const first = part('.labels input:checked') || part(facts.labels.length < FIND_FROM ? '.labels input' : '[type=search]');
    if (first) first.focus({ focusVisible: true });
  };
  const open = async (button) => {
    card = button.dataset.card;
    const mine = card, picture = button.closest('.card').querySelector('img');
    if (picture) part('header img').src = picture.src; else part('header img').removeAttribute('src');
    part('h2').textContent = 'What is this really?';
    for (const selector of ['.before', '.problem']) part(selector).textContent = '';
    part('[type=search]').value = '';
    part('[type=search]').hidden = true;
    part('.labels').innerHTML = '<p>asking …</p>';
    filled = false;
    refresh();
    dialog().showModal();
    try {
      const facts = await ask(mine);
      if (card === mine) fill(facts);
    } catch (error) {
      if (card !== mine) return;
      part('.labels').replaceChildren();
      part('.problem').textContent = error.message;
    }
  };
  const send = async () => {
    const mine = card, labels = chosen(), button = part('[type=submit]');
    if (button.disabled) return;
    button.disabled = true;
    button.textContent = 'Sending …';
    part('.problem').textContent = '';
    try {
      const facts = await ask(mine, { method: 'POST', headers: { 'Content-Type': 'application/json' },
                                     body: JSON.stringify({ labels }) });
      const place = document.querySelector(`.verdict-of-person[data-card="${mine}"]`);
      if (place) {
        const thanks = Object.assign(document.createElement('p'), { className: 'thanks', textContent: facts.thanks });
        thanks.setAttribute('role', 'status');
        place.querySelector('.thanks')?.remove();
        place.prepend(thanks);
        place.querySelector('button').textContent = 'Change';
      }
      dialog().close();
      place?.querySelector('button').focus();
    } catch (error) {
      part('.problem').textContent = error.message;
    } finally {
      refresh();
    }
  };
  document.addEventListener('click', (event) => {
    const button = event.target.closest('button.wrong');
    if (button) open(button);
    else if (event.target.closest('#wrong .cancel') || event.target === dialog()) dialog().close();
  });
  document.addEventListener('submit', (event) => {
    if (event.target.closest('#wrong')) { event.preventDefault(); send(); }
  });
  document.addEventListener('change', (event) => { if (event.target.closest('#wrong .labels')) refresh(); });
  document.addEventListener('input', (event) => {
    if (!event.target.matches('#wrong [type=search]')) return;
    const wanted = event.target.value.trim().toLowerCase();
    for (const box of dialog().querySelectorAll('.labels label'))
      box.hidden = !box.textContent.toLowerCase().includes(wanted) && !box.querySelector(':checked');
  });
}
"""
