// The token for a session.

const form = document.getElementById('door');
const wrong = document.getElementById('wrong');

form.addEventListener('submit', async (submitted) => {
  submitted.preventDefault();
  wrong.textContent = '';
  const token = document.getElementById('token').value;
  try {
    const answer = await fetch('login', {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ token }),
    });
    if (answer.ok) {
      location.assign('./');
      return;
    }
    const { error } = await answer.json();
    wrong.textContent = `${error.charAt(0).toUpperCase()}${error.slice(1)}.`;
  } catch {
    wrong.textContent = 'The agent does not answer.';
  }
});
