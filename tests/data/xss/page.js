// What the page around a mail's HTML does, and what its reader does. HIT is filled in by the test.
function hit() {
  fetch(new URL('HIT'), { keepalive: true, mode: 'no-cors' });
}
function act(does) {
  const mail = document.getElementById('mail');
  const all = [...document.querySelectorAll('html, body, body *')];
  switch (does) {
    case '':
    case 'alone':
      break;
    case 'reparse':
      mail.innerHTML = mail.innerHTML;
      break;
    case 'clobber':
      if (window.config) hit();
      break;
    case 'submit':
      [...document.forms].forEach((form) => form.requestSubmit());
      break;
    default:
      if (does === 'click') all.forEach((element) => element.click && element.click());
      all.forEach((element) => element.dispatchEvent(event(does)));
      window.dispatchEvent(event(does));
  }
}
function event(name) {
  const mouse = name === 'click' || name.startsWith('mouse');
  return mouse ? new MouseEvent(name, { bubbles: true, cancelable: true }) : new Event(name, { cancelable: true });
}
